"""A component for Home Assistant: fires events on request, and writes down those of the tests."""

import asyncio
import json

from homeassistant.core import callback

DOMAIN = "holdline_tests"


async def async_setup(hass, config):
    seen = open(hass.config.path("received"), "a", buffering=1, encoding="utf-8")

    @callback
    def write_down(event):
        seen.write(json.dumps({"n": event.data["n"], "id": event.data["id"]}) + "\n")

    hass.bus.async_listen("holdline_said", write_down)

    one_after_the_other = asyncio.Lock()

    async def fire(first, end):
        async with one_after_the_other:
            for number in range(first, end):
                hass.bus.async_fire("holdline_order", {"n": number, "text": "x" * 100})
                # As events come that people and machines bring about: other things happen between them.
                if number % 20 == 0:
                    await asyncio.sleep(0.002)

    async def push(call):
        hass.async_create_task(fire(call.data["from"], call.data["to"]))

    hass.services.async_register(DOMAIN, "push", push)
    return True
