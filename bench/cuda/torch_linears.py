# PyTorch's BF16 matmuls (cuBLASLt) of the 31B's shapes: CUDA graph, rotated weights, medians.
import statistics, torch
print(torch.__version__, torch.cuda.get_device_name(0))
shapes = [("gate+up", 43008, 5376), ("down", 5376, 21504), ("qkv sliding", 16384, 5376),
          ("qk full", 18432, 5376), ("o sliding", 5376, 8192), ("o full", 5376, 16384)]
for name, n, k in shapes:
    copies = max(3, (600 << 20) // (n * k * 2) + 1)
    ws = [torch.randn(n, k, device="cuda", dtype=torch.bfloat16) * 0.02 for _ in range(copies)]
    line = f"{name:12s}"
    for rows in (1, 4, 8, 16, 32, 64, 512):
        x = torch.randn(rows, k, device="cuda", dtype=torch.bfloat16)
        for w in ws: x @ w.t()
        torch.cuda.synchronize()
        g = torch.cuda.CUDAGraph()
        with torch.cuda.graph(g):
            for w in ws: y = x @ w.t()
        g.replay(); torch.cuda.synchronize()
        times = []
        for _ in range(15):
            a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            a.record(); g.replay(); b.record(); b.synchronize()
            times.append(a.elapsed_time(b) * 1e3 / copies)
        line += f"  {rows}: {statistics.median(times):8.2f}"
        del g
    print(line, flush=True)
    del ws
