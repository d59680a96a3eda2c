import socket,struct,sys,time
mode=sys.argv[1]
B=socket.socket(); B.bind(("0.0.0.0",5555))
A=socket.socket()
try: A.setsockopt(socket.SOL_SOCKET,25,b"lab0\0")
except OSError as e: print("bindtodevice",e)
if mode=="minttl": A.setsockopt(0,21,255)
else:
    try:
        ss=struct.pack("HH4s",2,0,b"\0\0\0\0").ljust(128,b"\0")
        A.setsockopt(6,38,ss+struct.pack("BBHiI",1,0,8,0,0)[:12].ljust(0)+b"")if 0 else A.setsockopt(6,38,ss+struct.pack("BBHi",1,0,8,0)+b"secretxx".ljust(80,b"\0"))
    except OSError as e: print("md5",e)
for s in (A,B): s.setsockopt(1,15,1)
A.bind(("0.0.0.0",5555)); 
B.listen(5); A.listen(0)
for s in (A,B): s.setsockopt(1,15,0)
print("listening",flush=True)
B.settimeout(4)
try: c,a=B.accept(); print("B accepted",a,flush=True); c,a=B.accept(); print("B accepted",a,flush=True)
except Exception as e: print(e)
D=socket.socket(); D.setsockopt(1,15,1)
try: D.bind(("0.0.0.0",5555)); print("D bound?!")
except OSError as e: print("D",e)
