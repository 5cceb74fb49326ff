"""What joins the rules to the library: what a job makes, and what must hold before it may."""
