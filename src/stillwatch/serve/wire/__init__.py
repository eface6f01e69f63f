"""What goes over the wire: one file a format, each with `read` (a body to `Asked`) and the reply that it asks for."""
