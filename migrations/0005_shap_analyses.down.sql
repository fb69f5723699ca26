DROP TABLE ml_shap_analyses;
