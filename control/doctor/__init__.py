"""``mixminus doctor``: what a host or call service needs of its machine, and how to mend it."""
