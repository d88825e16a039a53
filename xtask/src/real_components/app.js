export function greet(name) {
  return `Hello, ${name}!`;
}

export function count(shapes) {
  if (shapes.length === 0) throw "no shapes";
  return shapes.reduce((sum, [, shape]) => sum + (shape.tag === "polygon" ? shape.val.length : 1), 0);
}
