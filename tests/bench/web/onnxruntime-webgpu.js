import * as ort from 'onnxruntime-web/jspi';
import { open } from './onnxruntime.js';
import { start } from './page.js';

start((job) => open(ort, job, 'webgpu'));
