"""What the workflows run: previews, the review that a deployment is bound to, deployments, drift, releases."""
