"""The matching engine: pure state and arithmetic; no clock, no chance, no input or output."""
