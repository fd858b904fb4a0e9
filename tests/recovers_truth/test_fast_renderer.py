"""FastRenderer: colours, depth and segmentation of a scene that is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from invdyn.errors import UnknownNameError, WorldError
from invdyn.worlds.fast_renderer import FastRenderer

mujoco = pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
SCENE = """
<mujoco>
  <statistic extent="1"/>
  <visual><map znear="0.1" zfar="20"/><quality offsamples="4" shadowsize="4096"/></visual>
  <worldbody>
    <light pos="0 0 5" dir="0 0 -1"/>
    <camera name="above" pos="0 0 3" fovy="45"/>
    <geom name="floor" type="plane" size="5 5 .1" rgba="0 1 0 1"/>
    <geom name="box" type="box" size=".3 .3 .5" pos="0 0 .5" rgba="1 0 0 1"/>
    <geom name="lid" type="box" size=".3 .3 .1" pos="0 0 1.5" rgba="0 0 1 1" group="4"/>
  </worldbody>
</mujoco>
"""


@pytest.fixture(scope="module")
def scene():
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    try:
        FastRenderer(model, 8, 8).close()
    except WorldError as error:
        pytest.skip(str(error))
    return model, data


def test_pixels_depth_and_segments_are_those_of_the_scene(scene):
    model, data = scene
    with FastRenderer(model, 48, 64) as renderer:
        rgb = renderer.rgb(data, camera="above")
        depth = renderer.depth(data, camera="above")
        seen = renderer.segmentation(data, camera="above")
    assert rgb.shape == (48, 64, 3)
    box, floor = model.geom("box").id, model.geom("floor").id
    assert (seen[24, 32], seen[2, 2]) == (box, floor)
    assert rgb[24, 32].argmax() == 0
    assert rgb[2, 2].argmax() == 1
    assert depth[24, 32] == pytest.approx(2.0, abs=1e-3)  # camera at 3 m over a top at 1 m
    assert depth[2, 2] == pytest.approx(3.0, abs=1e-3)
    assert np.isin(seen, [box, floor]).all()


def test_groups_choose_what_is_drawn_and_the_model_stays_as_it_was(scene):
    model, data = scene
    with FastRenderer(model, 32, 32, groups=(0, 4)) as renderer:
        assert renderer.segmentation(data, camera="above")[16, 16] == model.geom("lid").id
        assert renderer.depth(data, camera="above")[16, 16] == pytest.approx(1.4, abs=1e-3)
    assert (model.vis.quality.offsamples, model.vis.quality.shadowsize) == (4, 4096)


def test_the_free_camera_looks_where_it_is_told(scene):
    model, data = scene
    look = {"lookat": (0, 0, 0), "distance": 3.0, "azimuth": 90.0, "elevation": -90.0}
    with FastRenderer(model, 32, 32) as renderer:
        assert renderer.depth(data, look=look)[16, 16] == pytest.approx(2.0, abs=1e-3)
        with pytest.raises(UnknownNameError, match=r"free camera 'azimut'. Did you mean 'azimuth'"):
            renderer.rgb(data, look={"azimut": 3.0})
        with pytest.raises(UnknownNameError, match=r"unknown camera 'abov'. Did you mean 'above'"):
            renderer.rgb(data, camera="abov")
    with pytest.raises(WorldError, match="the renderer is closed; make a new one"):
        renderer.rgb(data)


def test_without_opengl_it_says_what_to_install(scene, monkeypatch):
    def broken(module, extra):
        raise RuntimeError("no driver")

    monkeypatch.setattr("invdyn.worlds.fast_renderer._backend", broken)
    with pytest.raises(WorldError, match=r"no off-screen OpenGL.*egl: RuntimeError: no driver.*libegl1"):
        FastRenderer(scene[0], 8, 8)
    with pytest.raises(UnknownNameError, match="unknown rendering backend 'glx'"):
        FastRenderer(scene[0], 8, 8, backend="glx")
