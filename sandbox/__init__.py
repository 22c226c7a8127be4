"""The whole platform on one machine: real engine, real Kubernetes API, real PostgreSQL and Redis."""
