//! Prompt optimisation runs and instructions.

use proofmark::domain::{InstructionId, NewInstruction, NewPromptRun, PromptRunEnd, PromptRunId, PromptRunStatus};
use proofmark::repository::{PageRequest, prompt_constraint};

use crate::both::{
    Layer, assert_constraint, assert_invalid, assert_not_found, assert_refused, on_both, on_postgres, pages,
};

fn run(agent: &str) -> NewPromptRun {
    NewPromptRun {
        agent_name: agent.to_owned(),
        optimizer_type: "gepa".to_owned(),
        budget: 100,
        initial_score: Some(-1e300),
    }
}

async fn an_instruction(layer: &Layer, agent: &str) -> InstructionId {
    layer.prompts.add_instruction(NewInstruction::new(agent, "be brief ☂")).await.unwrap().id
}

#[tokio::test]
async fn a_run_ends_once_and_within_its_budget() {
    on_both(async |layer| {
        let begun = layer.prompts.start_run(run("planner")).await.unwrap();
        assert_eq!((begun.status, begun.initial_score), (PromptRunStatus::Running, Some(-1e300)));
        let end = |evaluations| PromptRunEnd::Completed { best_score: 0.75, evaluations };
        assert_invalid(layer.prompts.finish_run(begun.id, end(101)).await, "evaluations");
        let infinite = PromptRunEnd::Completed { best_score: f64::INFINITY, evaluations: 1 };
        assert_invalid(layer.prompts.finish_run(begun.id, infinite).await, "best_score");
        let done = layer.prompts.finish_run(begun.id, end(100)).await.unwrap();
        assert_eq!(
            (done.status, done.best_score, done.evaluations),
            (PromptRunStatus::Completed, Some(0.75), Some(100))
        );
        assert!(done.completed_at >= Some(done.started_at));
        assert_refused(layer.prompts.finish_run(begun.id, PromptRunEnd::Cancelled).await);
        // That it has ended is told before anything about the budget.
        assert_refused(layer.prompts.finish_run(begun.id, end(101)).await);
        assert_eq!(layer.prompts.find_run(begun.id).await.unwrap(), done);

        let failed = layer.prompts.start_run(run("planner")).await.unwrap().id;
        assert_invalid(
            layer.prompts.finish_run(failed, PromptRunEnd::Failed(String::new())).await,
            "error_message",
        );
        let failed = layer.prompts.finish_run(failed, PromptRunEnd::Failed("no key".to_owned())).await.unwrap();
        assert_eq!((failed.status, failed.error_message.as_deref()), (PromptRunStatus::Failed, Some("no key")));
        let given_up = layer.prompts.start_run(run("planner")).await.unwrap().id;
        let given_up = layer.prompts.finish_run(given_up, PromptRunEnd::Cancelled).await.unwrap();
        layer.prompts.start_run(run("writer")).await.unwrap();
        let mut runs = vec![done, failed, given_up];
        runs.sort_by_key(|run| std::cmp::Reverse((run.started_at, run.id)));
        assert_eq!(pages(async |request| layer.prompts.runs("planner", request).await).await, runs);
        assert_not_found(layer.prompts.find_run(PromptRunId::random()).await);
        assert_not_found(layer.prompts.finish_run(PromptRunId::random(), PromptRunEnd::Cancelled).await);
        assert_invalid(layer.prompts.start_run(NewPromptRun { budget: 0, ..run("a") }).await, "budget");
        assert_invalid(layer.prompts.runs("", PageRequest::first(1)).await, "agent_name");
    })
    .await;
}

#[tokio::test]
async fn one_instruction_is_active_and_any_number_is_not() {
    on_both(async |layer| {
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(an_instruction(&layer, "planner").await);
        }
        let writer = an_instruction(&layer, "writer").await;
        assert_eq!(layer.prompts.active("planner").await.unwrap(), None);
        layer.prompts.activate(writer).await.unwrap();
        // There and back again: each leaves the others inactive.
        for id in [ids[0], ids[2], ids[0], ids[3]] {
            let active = layer.prompts.activate(id).await.unwrap();
            assert!(active.is_active && active.activated_at >= Some(active.created_at));
            assert_eq!(layer.prompts.active("planner").await.unwrap(), Some(active.clone()));
            assert_eq!(layer.prompts.activate(id).await.unwrap(), active);
            let listed = pages(async |request| layer.prompts.instructions("planner", request).await).await;
            assert_eq!(listed.iter().map(|one| one.version).collect::<Vec<_>>(), [4, 3, 2, 1]);
            assert_eq!(listed.iter().filter(|one| one.is_active).count(), 1);
        }
        assert_eq!(layer.prompts.active("writer").await.unwrap().unwrap().id, writer);
        assert!(!layer.prompts.deactivate(ids[3]).await.unwrap().is_active);
        assert_eq!(layer.prompts.active("planner").await.unwrap(), None);
        assert_not_found(layer.prompts.activate(InstructionId::random()).await);
        assert_not_found(layer.prompts.deactivate(InstructionId::random()).await);
        assert_not_found(layer.prompts.find_instruction(InstructionId::random()).await);
        assert_eq!(layer.prompts.active("nobody").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_instruction_comes_from_a_run_of_its_agent() {
    on_both(async |layer| {
        let run = layer.prompts.start_run(run("planner")).await.unwrap().id;
        let of = |agent: &str| NewInstruction {
            run_id: Some(run),
            score: Some(0.1),
            ..NewInstruction::new(agent, "think first")
        };
        let made = layer.prompts.add_instruction(of("planner")).await.unwrap();
        assert_eq!((made.version, made.run_id, made.score), (1, Some(run), Some(0.1)));
        assert_eq!(layer.prompts.find_instruction(made.id).await.unwrap(), made);
        let foreign = layer.prompts.add_instruction(of("writer")).await;
        assert_constraint(foreign, prompt_constraint::INSTRUCTION_RUN);
        // What was refused has used no version.
        let first = layer.prompts.add_instruction(NewInstruction::new("writer", "w")).await.unwrap();
        assert_eq!(first.version, 1);
        let nul = NewInstruction::new("writer", "a\0");
        assert_invalid(layer.prompts.add_instruction(nul).await, "instruction");
        let unbounded = NewInstruction { score: Some(f64::NAN), ..NewInstruction::new("writer", "a") };
        assert_invalid(layer.prompts.add_instruction(unbounded).await, "score");
    })
    .await;
}

#[tokio::test]
async fn instructions_that_are_added_at_once_have_versions_of_their_own() {
    on_both(async |layer| {
        let add = |layer: Layer| async move {
            for _ in 0..5 {
                an_instruction(&layer, "planner").await;
            }
        };
        let workers: Vec<_> = (0..6).map(|_| tokio::spawn(add(layer.clone()))).collect();
        for worker in workers {
            worker.await.unwrap();
        }
        let listed = layer.prompts.instructions("planner", PageRequest::first(100)).await.unwrap().items;
        assert_eq!(listed.iter().map(|one| one.version).collect::<Vec<_>>(), (1..=30).rev().collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn there_is_no_moment_without_an_active_instruction() {
    on_postgres(async |database, layer| {
        let (one, other) = (an_instruction(&layer, "planner").await, an_instruction(&layer, "planner").await);
        layer.prompts.activate(one).await.unwrap();
        let flip = |layer: Layer, id| async move {
            for _ in 0..20 {
                layer.prompts.activate(id).await.unwrap();
            }
        };
        let workers: Vec<_> =
            [one, other, one, other].map(|id| tokio::spawn(flip(layer.clone(), id))).into_iter().collect();
        for _ in 0..50 {
            let active: i64 = sqlx::query_scalar("SELECT count(*) FROM optimized_instructions WHERE is_active")
                .fetch_one(database.pool())
                .await
                .unwrap();
            assert_eq!(active, 1);
        }
        for worker in workers {
            worker.await.unwrap();
        }
    })
    .await;
}
