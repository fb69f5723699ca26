//! Explanation latency under criterion: `cargo bench`. The workloads are those of `benches/workloads.toml`, and each
//! is verified before it is timed.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has to stop")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use proofmark_harness::suites::explanations::Reference;
use proofmark_harness::workload::Workload;

fn explanations(criterion: &mut Criterion) {
    for workload in Workload::all().unwrap() {
        let prepared = workload.prepare(&Reference).unwrap();
        let mut group = criterion.benchmark_group(format!("explain/{}", workload.fixture.name));
        group.throughput(Throughput::Elements(workload.batch_rows.get() as u64));
        let id = BenchmarkId::from_parameter(format!("rows-{}/workers-{}", workload.batch_rows, workload.workers));
        let mut number = 0;
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                number += 1;
                prepared.explain(number)
            });
        });
        group.finish();
    }
}

criterion_group!(benches, explanations);
criterion_main!(benches);
