"""What is judged about settings beyond the type of a value; nautilus is imported for the guarantees only."""
