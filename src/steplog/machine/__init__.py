"""What is known of the machine and the program: the code's commit, the command line, load and memory."""
