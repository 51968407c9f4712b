"""Networks from the Hugging Face Hub, and back to it: the extra ``hub``."""
