// A face as `meanshape detect --overlay` draws it: corners of the box, lines and dots by colour, a light rim.

const [LINE, DOT, RIM] = [0.0055, 0.0095, 0.004]; // shares of the face's size

export function draw(pen, face, model) {
  const [left, top, right, bottom] = face.box;
  const size = Math.sqrt((right - left) * (bottom - top));
  pen.save();
  pen.translate(0.5, 0.5); // the centre of the first pixel is (0, 0)
  pen.lineCap = pen.lineJoin = "round";
  corners(pen, face.box, size);
  lines(pen, face.points, model.edges, () => "rgb(255 255 255 / .8)", Math.max(1, (LINE + 2 * RIM) * size));
  dots(pen, face.points, () => "rgb(255 255 255 / .8)", Math.max(1.2, (DOT + RIM) * size));
  lines(pen, face.points, model.edges, (edge) => model.colours[edge[1]], Math.max(0.7, LINE * size));
  dots(pen, face.points, (n) => model.colours[n], Math.max(0.9, DOT * size));
  pen.restore();
}

function corners(pen, [left, top, right, bottom], size) {
  const arm = 0.16 * Math.min(right - left, bottom - top);
  for (const [width, ink] of [[0.022, "rgb(24 26 32 / .55)"], [0.011, "#fff"]]) {
    pen.strokeStyle = ink;
    pen.lineWidth = Math.max(1, width * size);
    pen.beginPath();
    for (const [x, dx] of [[left, arm], [right, -arm]]) {
      for (const [y, dy] of [[top, arm], [bottom, -arm]]) {
        pen.moveTo(x + dx, y);
        pen.lineTo(x, y);
        pen.lineTo(x, y + dy);
      }
    }
    pen.stroke();
  }
}

function lines(pen, points, edges, ink, width) {
  pen.lineWidth = width;
  for (const edge of edges) {
    pen.strokeStyle = ink(edge);
    pen.beginPath();
    pen.moveTo(...points[edge[0]]);
    pen.lineTo(...points[edge[1]]);
    pen.stroke();
  }
}

function dots(pen, points, ink, radius) {
  points.forEach((point, n) => {
    pen.fillStyle = ink(n);
    pen.beginPath();
    pen.arc(...point, radius, 0, 7);
    pen.fill();
  });
}
