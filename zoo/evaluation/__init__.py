"""Is a model what it says? The one place where accuracies, known answers and predictions are made."""
