"""Training: `fit`, its step and epoch, the state that resumes, interrupts, finding the first value that went wrong."""
