import sys, os, signal, time, threading
import steplog
run = steplog.init("team","x")
run.log("loss", .5)
if len(sys.argv)>1:
    def hook(ev, args):
        if ev in ("compile","import"):
            try: os.write(2, f"{threading.current_thread().name} {ev} {str(args)[:100]}\n".encode())
            except Exception: pass
    sys.addaudithook(hook)
os.kill(os.getpid(), signal.SIGINT); time.sleep(5)
