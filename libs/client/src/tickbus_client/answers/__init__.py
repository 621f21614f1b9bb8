"""What the gateway answers, as frozen structs."""
