"""Pictures and captions in the forms that people have them, written as inputs of the pipeline."""
