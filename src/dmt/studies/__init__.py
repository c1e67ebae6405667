"""What is studied with all the rest, and used by nothing: figures, benchmark, layers, transfer."""
