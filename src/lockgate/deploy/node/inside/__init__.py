"""What runs inside the node: prepares the kernel's view, starts the parts, and ends when one of them does.

These modules are copied into the node's image. Standard library only, and nothing of Lockgate but each other.
"""
