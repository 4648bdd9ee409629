"""Patches and their transpose."""

from minigan.backends.compiled.signatures import compiled


@compiled("4=6ppp")
def patches(x, out, stride, padding, dilation):
    n, p, q, kh, kw, channels = out.shape
    h, w = x.shape[1:3]
    # neighbouring taps of one row are neighbours in the image, too, unless they are dilated: they go in one run
    taps, length = (1, kw) if dilation[1] == 1 else (kw, 1)
    image_rows, runs = x.reshape(n, h, w * channels), out.reshape(n, p, q, kh, taps, length * channels)
    for image in range(n):
        for a in range(p):
            for b in range(q):
                for i in range(kh):
                    y = a * stride[0] - padding[0] + i * dilation[0]
                    for j in range(taps):
                        z = b * stride[1] - padding[1] + j * dilation[1]
                        to = runs[image, a, b, i, j]
                        first = min(length, max(0, -z)) * channels if 0 <= y < h else length * channels
                        last = max(first, min(length, w - z) * channels)
                        for c in range(first):
                            to[c] = 0
                        if first < last:
                            source = image_rows[image, y, z * channels + first : z * channels + last]
                            middle = to[first:last]
                            for c in range(last - first):
                                middle[c] = source[c]
                        for c in range(last, length * channels):
                            to[c] = 0


@compiled("6=4ppp")
def fold(windows, out, stride, padding, dilation):
    n, p, q, kh, kw, channels = windows.shape
    h, w = out.shape[1:3]
    taps, length = (1, kw) if dilation[1] == 1 else (kw, 1)
    image_rows, runs = out.reshape(n, h, w * channels), windows.reshape(n, p, q, kh, taps, length * channels)
    for image in range(n):
        out[image] = 0
        for a in range(p):
            for b in range(q):
                for i in range(kh):
                    y = a * stride[0] - padding[0] + i * dilation[0]
                    if not 0 <= y < h:
                        continue
                    for j in range(taps):
                        z = b * stride[1] - padding[1] + j * dilation[1]
                        first, last = max(0, -z) * channels, min(length, w - z) * channels
                        if first < last:
                            source = runs[image, a, b, i, j][first:last]
                            to = image_rows[image, y, z * channels + first : z * channels + last]
                            for c in range(last - first):
                                to[c] += source[c]
