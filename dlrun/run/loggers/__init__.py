"""Where a run reports to beside its folder's own files: TensorBoard, MLflow, W&B."""
