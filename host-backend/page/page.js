// SPDX-License-Identifier: GPL-2.0-or-later
// Draws hmemd's VMs from vms.json.  Texts come from guests and are never read as HTML.
"use strict";

const EVERY_MS = 2000;
// Samples that are kept of each VM: half an hour.
const KEPT = 900;
const PAGE = 4096;
const BANDS = ["hot", "warm", "cold"];

const samples = new Map();	// by the VM's name
let selected = null;

const byId = id => document.getElementById(id);
const colour = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name);

function element(tag, text, className) {
	const e = document.createElement(tag);

	if (text !== undefined)
		e.textContent = text;
	if (className)
		e.className = className;
	return e;
}

function size(bytes) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let i = 0;

	if (bytes === null || bytes === undefined)
		return "–";
	for (; bytes >= 1024 && i < units.length - 1; i++)
		bytes /= 1024;
	return bytes.toFixed(bytes < 10 && i ? 1 : 0) + " " + units[i];
}

const rate = pages => pages === null ? "–" : size(pages * PAGE) + "/s";

function stateOf(vm) {
	return vm.migrating ? "migrating" : vm.running ? "running" : "paused";
}

// The tier's bytes by band; all are "unknown" as long as no window has ended.
function bands(tier) {
	if (tier.hot === null)
		return [["unknown", tier.size.actual_bytes]];
	return BANDS.map(name => [name, tier[name] * PAGE]);
}

function tierRow(tier) {
	const row = element("div", undefined, "tier");
	const bar = element("span", undefined, "bar");

	for (const [name, bytes] of bands(tier)) {
		const part = element("i", undefined, name);

		part.style.width = 100 * bytes / tier.size.max_bytes + "%";
		part.title = name + ": " + size(bytes);
		bar.append(part);
	}
	row.append(element("span", tier.tier + " " + tier.kind), bar,
		   element("span", size(tier.size.actual_bytes) + " of " +
				   size(tier.size.max_bytes)));
	return row;
}

function vmRow(vm) {
	const row = element("tr"), name = element("td", vm.name), tiers = element("td");

	if (vm.uuid)
		name.append(element("span", vm.uuid, "uuid"));
	for (const tier of vm.tiers)
		tiers.append(tierRow(tier));
	row.append(name, element("td", stateOf(vm)), element("td", vm.driver),
		   element("td", vm.policy), tiers,
		   element("td", rate(vm.promoted_per_s), "n"),
		   element("td", rate(vm.demoted_per_s), "n"), element("td", vm.activity));
	row.setAttribute("aria-selected", vm.name === selected);
	row.addEventListener("click", () => {
		selected = vm.name;
		draw();
	});
	return row;
}

function chart(parent, caption) {
	const figure = element("figure"), canvas = element("canvas");

	figure.append(element("figcaption", caption), canvas);
	parent.append(figure);
	return canvas;
}

// Give the canvas, which is laid out, the resolution of the screen.
function contextOf(canvas) {
	canvas.width = canvas.clientWidth * devicePixelRatio;
	canvas.height = canvas.clientHeight * devicePixelRatio;
	return canvas.getContext("2d");
}

// The columns of @list in a picture of @width: they begin at the left and fill it in the end.
function* columns(list, width) {
	const step = Math.max(width / KEPT, Math.min(8, width / list.length));
	const first = Math.max(0, list.length - Math.floor(width / step));

	for (let i = first; i < list.length; i++)
		yield [list[i], (i - first) * step, Math.ceil(step)];
}

function drawSizes(context, list, index) {
	const { width, height } = context.canvas;

	for (const [vm, x, w] of columns(list, width)) {
		const tier = vm.tiers[index], total = tier.size.max_bytes;
		let y = height;

		for (const [name, bytes] of bands(tier).reverse()) {
			const h = height * bytes / total;

			context.fillStyle = colour(name);
			context.fillRect(x, y -= h, w, h);
		}
		context.fillStyle = colour("fg");
		context.fillRect(x, height * (1 - tier.size.requested_bytes / total), w, 2);
	}
}

function drawHeat(context, list, index) {
	const { width, height } = context.canvas;

	for (const [vm, x, w] of columns(list, width)) {
		const heat = vm.tiers[index].heat;
		const all = heat ? heat.reduce((a, b) => a + b, 0) : 0;

		for (let i = 0; all && i < heat.length; i++) {
			// Some few hot pages matter: the brightness follows the logarithm.
			const bright = heat[i] ? 1 + Math.log2(heat[i] / all) / 20 : 0;
			const y = Math.round(height * (1 - (i + 1) / heat.length));

			context.fillStyle = `hsl(${260 - 220 * bright} 80% ${65 * bright}%)`;
			context.fillRect(x, y, w, Math.ceil(height / heat.length));
		}
	}
}

function drawDetail() {
	const list = samples.get(selected), charts = byId("charts");
	const vm = list && list[list.length - 1];

	byId("detail").hidden = !vm;
	charts.replaceChildren();
	if (!vm)
		return;
	byId("name").textContent = vm.name;
	byId("facts").textContent = `Device ${vm.device}, process ${vm.pid}, tracker ` +
		`${vm.tracker || "–"}, window ${vm.window_ms} ms, ${vm.windows} windows.`;
	const canvases = vm.tiers.map((tier, index) => {
		const name = `Tier ${index} (${tier.kind})`;

		return [chart(charts, `${name}: ${size(tier.size.actual_bytes)}, target ` +
				      `${size(tier.size.requested_bytes)}, ` +
				      `${size(tier.size.free_bytes)} free`),
			chart(charts, `${name}: heat`)];
	});
	canvases.forEach(([sizes, heat], index) => {
		drawSizes(contextOf(sizes), list, index);
		drawHeat(contextOf(heat), list, index);
	});
}

function draw() {
	const vms = [...samples.values()].map(list => list[list.length - 1]);

	if (!samples.has(selected))
		selected = vms.length ? vms[0].name : null;
	document.querySelector("#vms tbody").replaceChildren(...vms.map(vmRow));
	drawDetail();
}

function take(answer) {
	const names = new Set(answer.vms.map(vm => vm.name));

	for (const name of samples.keys()) {
		if (!names.has(name))
			samples.delete(name);
	}
	for (const vm of answer.vms) {
		const list = samples.get(vm.name) || [];
		const last = list[list.length - 1];

		// Another VM of this name, or one with other tiers.
		if (last && (last.pid !== vm.pid || last.tiers.length !== vm.tiers.length))
			list.length = 0;
		list.push(vm);
		if (list.length > KEPT)
			list.shift();
		samples.set(vm.name, list);
	}
}

async function sample() {
	const state = byId("state");

	try {
		const response = await fetch("vms.json", { cache: "no-store" });

		if (!response.ok)
			throw new Error(`HTTP status ${response.status}`);
		take(await response.json());
		state.textContent = `${samples.size} VM${samples.size === 1 ? "" : "s"}, ` +
			new Date().toLocaleTimeString();
		state.className = "";
	} catch (error) {
		state.textContent = `hmemd does not answer: ${error.message}`;
		state.className = "bad";
	}
	draw();
	setTimeout(sample, EVERY_MS);
}

sample();
