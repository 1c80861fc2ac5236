"""affectscope: a microscope for how language models infer emotion."""
