"""The life of a run in a process: how it begins, who delivers it, how it ends, and what waits afterwards.

starting, placing     init(), and the project that a run goes to     attaching   attach(), and runs built by hand
process               what this process has: settings, agent, runs   opened, disabled   a run while it is open
ending, traces        how the program goes down, and on what         adoption    taking over the dead's runs
saying                the lines at a run's start and end             recovery    journals(), sync(), clean()
run_stats, waiting, web_address  its numbers, its deadlines, its address in a browser
"""
