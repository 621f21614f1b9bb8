"""One adapter per venue, alike in shape: frames in, messages out, no input or output."""
