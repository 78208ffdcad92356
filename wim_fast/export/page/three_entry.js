// What page.js uses of three.js: see README.md.
export {
  AnimationMixer, Box3, BufferGeometry, Color, DirectionalLight, Float32BufferAttribute, HemisphereLight,
  LineBasicMaterial, LineSegments, MeshLambertMaterial, PerspectiveCamera, Points, PointsMaterial, Quaternion,
  Scene, SRGBColorSpace, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
