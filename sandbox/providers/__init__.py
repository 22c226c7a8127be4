"""Pulumi resource providers for the sandbox, as the engine starts them: `python -m sandbox.providers.<name>`."""
