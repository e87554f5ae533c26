"""Files of runs and artifacts as a program has them: what is to be saved, what a server has, and how it is read."""
