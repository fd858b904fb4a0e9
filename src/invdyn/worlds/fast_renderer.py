"""`FastRenderer`: off-screen MuJoCo pictures, depth and segmentation without the effects that cost the most.

On a processor (Mesa's software rasteriser) shadows, reflections and multisampling take most of the time of a small
picture, and many models carry collision meshes in geometry groups that nobody wants to see. All are off unless asked
for: 9-17 times the pictures per second of gymnasium's renderer at its defaults, from the same place in the same run on
a busy processor (`invdyn bench worlds`; Meta-World pick-place 67 against 4 pictures a second at 96 x 96 px, 23 against
3 at 480 x 480; Adroit door 60 against 7, and 40 against 4). The context is made by EGL, or by OSMesa where EGL is
missing, whatever the environment variable MUJOCO_GL says when mujoco is imported; set to `egl` or `osmesa` it picks
that one.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from invdyn.errors import WorldError, require, unknown_name

__all__ = ["FastRenderer"]

BACKENDS = ("egl", "osmesa")


class FastRenderer:
    """Pictures of one model; give the data, and the model where several copies share the renderer.

    Args:
        model: `mujoco.MjModel`; its meshes and textures are uploaded once. It is left unchanged.
        height, width: of the pictures, px.
        groups: geometry groups that are drawn (0-5); None for MuJoCo's own choice (0, 1, 2).
        shadows, reflections: whether these are drawn.
        samples: multisampling; 0 for none.
        backend: `egl` or `osmesa`; None for the first that works.
        max_geoms: most geometries in a scene.

    Raises:
        WorldError: no off-screen OpenGL here; says what each backend answered and which packages bring one.
    """

    def __init__(
        self,
        model: Any,
        height: int = 96,
        width: int = 96,
        *,
        groups: Iterable[int] | None = None,
        shadows: bool = False,
        reflections: bool = False,
        samples: int = 0,
        backend: str | None = None,
        max_geoms: int = 5000,
    ) -> None:
        mujoco = require("mujoco", "worlds")
        self._mujoco, self.model, self.size = mujoco, model, (height, width)
        self._gl: Any = _gl_context(height, width, backend)
        self._gl.make_current()
        quality, screen = model.vis.quality, model.vis.global_
        before = quality.offsamples, quality.shadowsize, screen.offheight, screen.offwidth
        quality.offsamples, screen.offheight, screen.offwidth = samples, height, width
        if not shadows:
            quality.shadowsize = 0
        try:
            self._context: Any = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        finally:
            quality.offsamples, quality.shadowsize, screen.offheight, screen.offwidth = before
        self._free = weakref.finalize(self, _free, self._gl, self._context)  # also at exit, while the driver is there
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._scene = mujoco.MjvScene(model=model, maxgeom=max_geoms)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = reflections
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._option = mujoco.MjvOption()
        if groups is not None:
            self._option.geomgroup[:] = 0
            self._option.geomgroup[list(groups)] = 1

    def rgb(
        self, data: Any, *, model: Any = None, camera: str | int = -1, look: Mapping[str, Any] | None = None
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The picture.

        Args:
            data: `mujoco.MjData` to draw.
            model: the model of `data`, when it is another copy of the renderer's.
            camera: a name or number of the model's cameras; -1 for the free camera.
            look: settings of the free camera: azimuth, elevation (degrees), distance (m), lookat (x, y, z).

        Raises:
            UnknownNameError: no such camera.
        """
        self._draw(data, model, camera, look)
        picture = np.empty((*self.size, 3), np.uint8)
        self._mujoco.mjr_readPixels(picture, None, self._rect, self._context)
        return picture[::-1].copy()

    def depth(
        self, data: Any, *, model: Any = None, camera: str | int = -1, look: Mapping[str, Any] | None = None
    ) -> Float32[np.ndarray, "height width"]:
        """Distance from the camera's plane, m; the far clipping plane where nothing is."""
        self._draw(data, model, camera, look)
        buffer = np.empty(self.size, np.float32)
        self._mujoco.mjr_readPixels(None, buffer, self._rect, self._context)
        extent, planes = self.model.stat.extent, self.model.vis.map
        near, far = planes.znear * extent, planes.zfar * extent
        # The buffer holds z = near (far - d) / (d (far - near)): 1 on the near plane, 0 on the far one (reversed Z).
        return (near * far / (near + buffer[::-1].astype(np.float64) * (far - near))).astype(np.float32)

    def segmentation(
        self, data: Any, *, model: Any = None, camera: str | int = -1, look: Mapping[str, Any] | None = None
    ) -> Int32[np.ndarray, "height width"]:
        """Number of the geometry seen in each pixel; -1 where there is none (sites and other marks included)."""
        flags, m = self._scene.flags, self._mujoco
        before = flags.copy()
        flags[m.mjtRndFlag.mjRND_SEGMENT] = flags[m.mjtRndFlag.mjRND_IDCOLOR] = True
        try:
            self._draw(data, model, camera, look)
        finally:
            flags[:] = before
        colors = np.empty((*self.size, 3), np.uint8)
        m.mjr_readPixels(colors, None, self._rect, self._context)
        marks = colors[::-1].astype(np.int64) @ np.array([1, 2**8, 2**16])
        geoms = np.full(self._scene.ngeom + 1, -1, np.int32)  # 0 is the background, i + 1 the scene's i-th
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == m.mjtObj.mjOBJ_GEOM:
                geoms[geom.segid + 1] = geom.objid
        return geoms[marks]

    def close(self) -> None:
        """Free the context; closing twice does nothing."""
        self._free()

    def __enter__(self) -> FastRenderer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _draw(self, data: Any, model: Any, camera: str | int, look: Mapping[str, Any] | None) -> None:
        if not self._free.alive:
            raise WorldError("the renderer is closed; make a new one.")
        m, model = self._mujoco, self.model if model is None else model
        self._gl.make_current()
        view = self._camera(model, camera, look or {})
        m.mjv_updateScene(model, data, self._option, None, view, m.mjtCatBit.mjCAT_ALL.value, self._scene)
        m.mjr_render(self._rect, self._scene, self._context)

    def _camera(self, model: Any, camera: str | int, look: Mapping[str, Any]) -> Any:
        m = self._mujoco
        view = m.MjvCamera()
        names = [model.camera(i).name for i in range(model.ncam)]
        if camera == -1:
            m.mjv_defaultFreeCamera(model, view)
            for key, value in look.items():
                if key == "lookat":
                    view.lookat[:] = value
                elif key in ("azimuth", "elevation", "distance"):
                    setattr(view, key, value)
                else:
                    raise unknown_name(
                        "setting of the free camera", key, ["azimuth", "elevation", "distance", "lookat"]
                    )
            return view
        if isinstance(camera, str):
            if camera not in names:
                raise unknown_name("camera", camera, names)
            camera = names.index(camera)
        elif not 0 <= camera < model.ncam:
            raise unknown_name("camera", str(camera), [str(i) for i in range(-1, model.ncam)])
        view.type, view.fixedcamid = m.mjtCamera.mjCAMERA_FIXED, camera
        return view


_backend = require
"""How a backend's module is imported."""


def _free(gl: Any, context: Any) -> None:
    gl.make_current()
    context.free()
    gl.free()


def _gl_context(height: int, width: int, backend: str | None) -> Any:
    """An off-screen OpenGL context of mujoco's own, by the first backend that works."""
    wanted = backend or os.environ.get("MUJOCO_GL", "").lower()
    if backend is not None and backend not in BACKENDS:
        raise unknown_name("rendering backend", backend, BACKENDS)
    answers = []
    for name in [wanted] if wanted in BACKENDS else BACKENDS:
        try:
            return _backend(f"mujoco.{name}", "worlds").GLContext(width, height)
        except Exception as error:  # whatever a driver raises; it goes into the message
            answers.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())}")
    raise WorldError(
        f"no off-screen OpenGL for MuJoCo here ({'; '.join(answers)}). On Debian or Ubuntu install libegl1 and "
        "libgl1-mesa-dri (or libosmesa6)."
    )
