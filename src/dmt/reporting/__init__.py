"""What a run leaves behind: pictures, tables, logs."""
