"""What we refuse to deploy: a CrossGuard policy pack. Rules are plain functions; `crossguard` alone knows Pulumi."""
