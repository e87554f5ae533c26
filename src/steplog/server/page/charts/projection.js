// Where the values of axes are in a picture: a box of device pixels, a range of x and one of y.

import { firstAtLeast } from "./ranges.js";

export class Projection {
  /** `box` is `{left, top, width, height}`; the ranges are as the axes have them. */
  constructor({ left, top, width, height }, [x0, x1], [y0, y1]) {
    Object.assign(this, { left, top, width, height, x0, x1, y0, y1 });
    this.kx = width / (x1 - x0);
    this.ky = height / (y1 - y0);
  }

  x(value) {
    return this.left + (value - this.x0) * this.kx;
  }

  y(value) {
    return this.top + this.height - (value - this.y0) * this.ky;
  }

  xAt(pixel) {
    return this.x0 + (pixel - this.left) / this.kx;
  }

  yAt(pixel) {
    return this.y0 + (this.top + this.height - pixel) / this.ky;
  }

  /** The indexes `[from, to)` of ascending places that are in sight, with the one before and the one behind. */
  inSight(x) {
    return [Math.max(0, firstAtLeast(x, this.x0) - 1), Math.min(x.length, firstAtLeast(x, this.x1) + 2)];
  }
}
