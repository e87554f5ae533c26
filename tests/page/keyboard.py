"""What a key press is to the DevTools protocol. Pure."""

from __future__ import annotations

from typing import Any

MODIFIERS = {"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}
KEYS = {  # Windows' virtual key code, and the text that the key types
    "Backspace": (8, ""),
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "Space": (32, " "),
    "PageUp": (33, ""),
    "PageDown": (34, ""),
    "End": (35, ""),
    "Home": (36, ""),
    "ArrowLeft": (37, ""),
    "ArrowUp": (38, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
    "Delete": (46, ""),
    "F10": (121, ""),
}


def strokes(keys: str) -> list[dict[str, Any]]:
    """The events of a press such as ``Enter``, ``a``, ``Shift+Tab`` or ``Control+a``."""
    *held, key = keys.split("+") if len(keys) > 1 else [keys]
    modifiers = sum(MODIFIERS[each] for each in held)
    if key in KEYS:
        code, text = KEYS[key]
        name, place = (" ", "Space") if key == "Space" else (key, key)
    else:
        assert len(key) == 1, f"no such key: {key}"
        code = ord(key.upper()) if key.isalnum() else 0  # those of other signs are another key's: 46 is Delete
        text, name, place = key, key, f"Key{key.upper()}" if key.isalpha() else ""
        if "Shift" in held and key.isalpha():
            text = name = key.upper()
    if {"Alt", "Control", "Meta"} & set(held):
        text = ""
    pressed = {"key": name, "code": place, "windowsVirtualKeyCode": code, "modifiers": modifiers}
    down = pressed | {"type": "keyDown", "text": text} if text else pressed | {"type": "rawKeyDown"}
    if key.lower() == "a" and held == ["Control"]:
        down["commands"] = ["selectAll"]
    return [down, pressed | {"type": "keyUp"}]
