"""The life of a run in a process: how it begins, who delivers it, how it ends, and what waits afterwards.

starting, attaching   init(); attach() and runs built by hand        opened, disabled   a run while it is open
process               what this process has: settings, agent, runs   adoption           taking over the dead's runs
ending                how the program goes down                      recovery           journals(), sync(), clean()
counting, waiting, pages   its numbers, its deadlines, its address in a browser
"""
