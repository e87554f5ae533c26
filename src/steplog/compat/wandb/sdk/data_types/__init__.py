"""``wandb.sdk.data_types``."""

from __future__ import annotations

from steplog.compat.wandb.second_names import give

globals().update(
    give(
        __name__,
        {
            **dict.fromkeys(("audio", "graph", "html", "image", "molecule", "object_3d", "plotly", "video"), "media"),
            **dict.fromkeys(("bokeh", "base_types", "helper_types"), "media"),
            **dict.fromkeys(("base_types.media", "base_types.wb_value"), "media"),
            **dict.fromkeys(
                ("helper_types.bounding_boxes_2d", "helper_types.classes", "helper_types.image_mask"), "media"
            ),
            **dict.fromkeys(("histogram", "table"), "table"),
        },
    )
)
