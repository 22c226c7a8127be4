"""What a pull request would do to a stack, read from `pulumi preview --json`: judged, told, drawn.

Pure Python over the preview's own JSON: no AWS, no cluster, no Pulumi program is asked.
"""
