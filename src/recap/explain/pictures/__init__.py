"""Pictures of the explanations; the stage `visualize`."""
