"use strict";
// The model and its motion, a slider for each joint, and three ways to look at it. The page works from the disk:
// all that it needs is in it. Where `wim-fast view` serves it, it can also ask for files of other formats.

const facts = JSON.parse(document.getElementById("facts").textContent);
const byId = (id) => document.getElementById(id);
const SHOWN = 1500; // milliseconds that a part is shown after its slider was used

function bytes(base64) {
  const text = atob(base64.trim());
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer;
}

class Page {
  constructor(gltf) {
    this.playing = facts.seconds > 0;
    this.angles = facts.joints.map(() => 0);
    this.scene = new THREE.Scene();
    this.scene.background = new THREE.Color("#f3f3f1");
    this.scene.add(gltf.scene, new THREE.HemisphereLight("#ffffff", "#b9b0a6", 2.2));
    this.mesh = gltf.scene.getObjectByProperty("isSkinnedMesh", true);
    this.mesh.frustumCulled = false;
    this.bones = facts.joints.map((joint) => gltf.scene.getObjectByName(joint.name));
    this.filmed = this.bones.map((bone) => bone.quaternion.clone());
    this.mixer = new THREE.AnimationMixer(gltf.scene);
    this.mixer.clipAction(gltf.animations[0]).play();
    this.addLook();
    this.addSkeleton();
    this.addPointer();
    this.addView();
    this.addControls();
    if (facts.formats.length) this.addExport();
    this.seek(0);
    this.look("film");
    this.last = performance.now();
    this.renderer.setAnimationLoop((now) => this.step(now));
  }

  addLook() {
    const part = new Float32Array(3 * this.mesh.geometry.attributes.position.count);
    const { skinIndex } = this.mesh.geometry.attributes;
    const palette = facts.joints.map((joint) => new THREE.Color(joint.color));
    for (let v = 0; v < skinIndex.count; v++) palette[skinIndex.getX(v)].toArray(part, 3 * v);
    this.looks = { film: this.mesh.material, parts: new THREE.MeshLambertMaterial({ vertexColors: true }) };
    this.looks.skeleton = new THREE.MeshLambertMaterial({ color: "#999", transparent: true, opacity: 0.25 });
    this.colors = { film: this.mesh.geometry.attributes.color, parts: new THREE.Float32BufferAttribute(part, 3) };
  }

  addSkeleton() {
    const ends = [];
    for (const bone of this.bones) for (const child of bone.children) if (child.isBone) ends.push([bone, child]);
    const line = new THREE.BufferGeometry();
    line.setAttribute("position", new THREE.Float32BufferAttribute(new Float32Array(6 * ends.length), 3));
    const on_top = { depthTest: false, transparent: true };
    this.lines = new THREE.LineSegments(line, new THREE.LineBasicMaterial({ color: "#333", ...on_top }));
    const dots = { size: 9, sizeAttenuation: false, vertexColors: true, ...on_top };
    const points = new THREE.BufferGeometry();
    const colors = facts.joints.flatMap((joint) => new THREE.Color(joint.color).toArray());
    points.setAttribute("position", new THREE.Float32BufferAttribute(new Float32Array(3 * this.bones.length), 3));
    points.setAttribute("color", new THREE.Float32BufferAttribute(colors, 3));
    this.dots = new THREE.Points(points, new THREE.PointsMaterial(dots));
    this.ends = ends.flat();
    for (const drawn of [this.lines, this.dots]) {
      drawn.frustumCulled = false;
      drawn.renderOrder = 1;
      this.scene.add(drawn);
    }
  }

  /** A coat of its colour over one part, and its name beside its joint. */
  addPointer() {
    this.coat = this.mesh.clone(); // moves with the same skeleton
    this.coat.geometry = this.mesh.geometry.clone();
    this.coat.geometry.deleteAttribute("color");
    const before = { polygonOffset: true, polygonOffsetFactor: -1, polygonOffsetUnits: -1 };
    this.coat.material = new THREE.MeshLambertMaterial({ transparent: true, opacity: 0.6, ...before });
    this.coat.visible = false;
    this.mesh.parent.add(this.coat);
    this.pointed = -1;
  }

  /** Show which part slider k turns, for a while; -1: none. */
  point(k) {
    clearTimeout(this.hiding);
    byId("name").hidden = !(this.coat.visible = k >= 0);
    if (k >= 0) this.hiding = setTimeout(() => this.point(-1), SHOWN);
    if (k < 0 || k === this.pointed) return;
    this.pointed = k;
    const corners = this.mesh.geometry.index, part = this.mesh.geometry.attributes.skinIndex, faces = [];
    for (let f = 0; f < corners.count; f += 3) {
      const face = [corners.getX(f), corners.getX(f + 1), corners.getX(f + 2)];
      if (face.some((v) => part.getX(v) === k)) faces.push(...face);
    }
    this.coat.geometry.setIndex(faces);
    this.coat.material.color.set(facts.joints[k].color);
    byId("name").textContent = facts.joints[k].name;
  }

  placeName() {
    const at = this.bones[this.pointed].getWorldPosition(new THREE.Vector3()).project(this.camera);
    byId("name").style.left = `${((at.x + 1) / 2) * innerWidth}px`;
    byId("name").style.top = `${((1 - at.y) / 2) * innerHeight}px`;
  }

  addView() {
    this.renderer = new THREE.WebGLRenderer({ canvas: byId("view"), antialias: true });
    this.renderer.setPixelRatio(devicePixelRatio);
    const box = new THREE.Box3().setFromBufferAttribute(this.mesh.geometry.attributes.position);
    const middle = box.getCenter(new THREE.Vector3()), size = box.getSize(new THREE.Vector3()).length();
    this.camera = new THREE.PerspectiveCamera(30, 1, size / 100, size * 100);
    this.camera.position.copy(middle).add(new THREE.Vector3(0.55, 0.35, 1).setLength(2.1 * size));
    const sun = new THREE.DirectionalLight("#ffffff", 1.6);
    sun.position.set(0.5, 1, 0.7);
    this.scene.add(sun);
    this.orbit = new THREE.OrbitControls(this.camera, this.renderer.domElement);
    this.orbit.target.copy(middle);
    const fit = () => {
      this.renderer.setSize(innerWidth, innerHeight, false);
      this.camera.aspect = innerWidth / innerHeight;
      // the panel covers the left: the middle of the picture is that of the rest
      const panel = innerWidth > 600 ? 280 : 0;
      this.camera.setViewOffset(innerWidth, innerHeight, -panel / 2, 0, innerWidth, innerHeight);
      this.camera.updateProjectionMatrix();
    };
    addEventListener("resize", fit);
    fit();
  }

  addControls() {
    byId("looks").addEventListener("change", (event) => this.look(event.target.value));
    byId("play").addEventListener("click", () => this.play(!this.playing));
    byId("time").max = facts.seconds;
    byId("time").addEventListener("input", (event) => {
      this.play(false);
      this.seek(Number(event.target.value));
    });
    byId("reset").addEventListener("click", () => facts.joints.forEach((_, k) => this.turn(k, 0)));
    this.sliders = facts.joints.map((joint, k) => {
      const row = document.createElement("label"), dot = document.createElement("i");
      const angle = document.createElement("output"), slider = document.createElement("input");
      row.className = "joint";
      dot.style.background = joint.color;
      Object.assign(slider, { type: "range", min: joint.least, max: joint.greatest, step: 1, value: 0 });
      slider.addEventListener("input", () => {
        this.turn(k, Number(slider.value));
        this.point(k);
      });
      row.addEventListener("pointerenter", () => this.point(k));
      row.append(dot, joint.name, angle, slider);
      byId("joints").append(row);
      return { slider, angle };
    });
    facts.joints.forEach((_, k) => this.turn(k, 0));
    this.play(this.playing);
  }

  addExport() {
    byId("export").hidden = false;
    byId("format").append(...facts.formats.map((name) => new Option(name)));
    byId("export").addEventListener("submit", (event) => {
      event.preventDefault();
      this.export(byId("format").value, byId("overwrite").checked);
    });
  }

  /** Have a file written, and offer it for download; says where it is, or why not. */
  async export(format, overwrite) {
    byId("write").disabled = true;
    byId("said").textContent = "writing ...";
    const headers = { "Content-Type": "application/json" };
    try {
      const answer = await fetch("export", { method: "POST", headers, body: JSON.stringify({ format, overwrite }) });
      byId("said").textContent = decodeURIComponent(answer.headers.get("X-Said") ?? answer.statusText);
      if (answer.ok) {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(await answer.blob());
        link.download = decodeURIComponent(answer.headers.get("X-Name"));
        link.click();
        URL.revokeObjectURL(link.href);
      }
    } catch {
      byId("said").textContent = "wim-fast view no longer runs";
    }
    byId("write").disabled = false;
  }

  look(name) {
    this.mesh.material = this.looks[name];
    const color = this.colors[name];
    if (color) this.mesh.geometry.setAttribute("color", color);
    this.lines.visible = this.dots.visible = name === "skeleton";
  }

  play(on) {
    this.playing = on && facts.seconds > 0;
    byId("play").textContent = this.playing ? "Pause" : "Play";
  }

  /** Turn joint k by so many degrees about its main axis, from where the film has it. */
  turn(k, degrees) {
    this.angles[k] = degrees;
    this.sliders[k].slider.value = degrees;
    this.sliders[k].angle.textContent = `${degrees}°`;
    if (this.seconds !== undefined) this.seek(this.seconds);
  }

  /** Show the film at so many seconds, with the joints turned as the sliders say. */
  seek(seconds) {
    this.seconds = seconds;
    byId("time").value = seconds;
    byId("clock").textContent = `${seconds.toFixed(2)} s`;
    // the mixer writes only what has changed since it wrote: bones must be as it left them
    this.bones.forEach((bone, k) => bone.quaternion.copy(this.filmed[k]));
    // at its end the animation would start again
    this.mixer.setTime(Math.min(seconds, facts.seconds * (1 - 1e-9)));
    const turn = new THREE.Quaternion(), axis = new THREE.Vector3();
    this.bones.forEach((bone, k) => {
      this.filmed[k].copy(bone.quaternion);
      turn.setFromAxisAngle(axis.fromArray(facts.joints[k].axis), (this.angles[k] * Math.PI) / 180);
      bone.quaternion.multiply(turn);
    });
    this.scene.updateMatrixWorld(true);
    this.place(this.dots, this.bones);
    this.place(this.lines, this.ends);
  }

  place(drawn, nodes) {
    const { position } = drawn.geometry.attributes, at = new THREE.Vector3();
    nodes.forEach((node, k) => position.setXYZ(k, ...node.getWorldPosition(at).toArray()));
    position.needsUpdate = true;
  }

  step(now) {
    if (this.playing) this.seek((this.seconds + (now - this.last) / 1000) % facts.seconds);
    this.last = now;
    this.orbit.update();
    if (this.coat.visible) this.placeName();
    this.renderer.render(this.scene, this.camera);
  }

  /** Where every vertex is now, x, y and z one after the other. */
  vertices() {
    const { count } = this.mesh.geometry.attributes.position, at = new THREE.Vector3(), all = [];
    for (let v = 0; v < count; v++) all.push(...this.mesh.getVertexPosition(v, at).toArray());
    return all;
  }
}

new THREE.GLTFLoader().parse(
  bytes(byId("model").textContent), "", (gltf) => { window.page = new Page(gltf); }, (error) => { throw error; },
);
