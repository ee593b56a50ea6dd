"""What a trained model can do: tasks with figures. Each task is a file here; importing this loads
none of them."""
