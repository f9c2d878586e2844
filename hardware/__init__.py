"""Servo buses and ROS 2 nodes as plants.

Wings, each of which imports only those before it: `bus`, `safety`, `driver`, `emulator`, `hil`; `ros` stands
on `safety` and `driver`. The modules beside them hold what several wings use.
"""
