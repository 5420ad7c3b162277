"""What is written of a trained model, and is it whole?"""
