import wit_world
from componentize_py_types import Err

class WitWorld(wit_world.WitWorld):
    def greet(self, name: str) -> str:
        return f"Hello, {name}!"

    def count(self, shapes) -> int:
        if not shapes:
            raise Err("no shapes")
        return sum(len(shape.value) if isinstance(shape, wit_world.Shape_Polygon) else 1 for _, shape in shapes)
