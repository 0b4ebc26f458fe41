#!/usr/bin/env python3
"""Checks that fluxq and huggingface_hub understand each other's cache, both ways.

usage: check_hub.py build/release/fluxq

A small Hub on this machine serves one made-up model. Both programs fetch it into empty caches: the
two must look alike, each must find in the other's what it needs without asking for it again, and
both must read each other's token. Prints one line per check; exit status 1 if one fails.
"""
import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "README.md": b"# made up",
    "model_index.json": b'{"_class_name": "FluxPipeline"}',
    "scheduler/scheduler_config.json": b"{}",
    "text_encoder/config.json": b"{}",  # the same contents twice
    "transformer/config.json": b'{"x": 1}',
    "transformer/diffusion_pytorch_model.safetensors": os.urandom(3_000_000),
    "vae/diffusion_pytorch_model.safetensors": os.urandom(5000),
}
WANTED = ["model_index.json", "scheduler/*", "text_encoder/*", "transformer/*", "vae/*"]
ONCE = sorted(set(FILES) - {"README.md", "text_encoder/config.json"})  # equal contents come once


def is_lfs(path):
    return path.endswith(".safetensors")


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def content_hash(path):
    content = FILES[path]
    return hashlib.sha256(content).hexdigest() if is_lfs(path) else git_hash(content)


def entry(path, name_key, hash_key):
    content = FILES[path]
    result = {name_key: path, "size": len(content), hash_key: git_hash(content), "type": "file"}
    if is_lfs(path):
        result["lfs"] = {"sha256": content_hash(path), "oid": content_hash(path), "size": len(content), "pointerSize": 134}
    return result


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self, path):
        content = FILES[path]
        if self.command == "GET":
            self.server.downloads.append(path)
        begin, end = 0, len(content)
        headers = {"ETag": f'"{content_hash(path)}"', "X_Repo_Commit": COMMIT, "Accept_Ranges": "bytes"}
        span = self.headers.get("Range")
        if span:
            first, last = span.removeprefix("bytes=").split("-")
            begin, end = int(first), min(int(last or end) + 1, end)
            headers["Content_Range"] = f"bytes {begin}-{end - 1}/{len(content)}"
        self.reply(206 if span else 200, content[begin:end], **headers)

    def do_GET(self):
        target = self.path.split("?")[0]
        self.server.tokens.add(self.headers.get("Authorization"))
        api, resolve = "/api/models/org/name", "/org/name/resolve/"
        if target in (f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            body = {"id": "org/name", "sha": COMMIT, "siblings": [entry(p, "rfilename", "blobId") for p in FILES]}
            return self.reply(200, json.dumps(body).encode(), Content_Type="application/json")
        if target.startswith(f"{api}/tree/"):
            body = [entry(p, "path", "oid") for p in FILES]
            return self.reply(200, json.dumps(body).encode(), Content_Type="application/json")
        if target.startswith(resolve):
            path = target.removeprefix(resolve).split("/", 1)[1]
            if path not in FILES:
                return self.reply(404, X_Error_Code="EntryNotFound")
            if not is_lfs(path):
                return self.serve(path)
            return self.reply(302, Location=f"{self.server.elsewhere}/{path}", X_Repo_Commit=COMMIT,
                              X_Linked_Etag=f'"{content_hash(path)}"', X_Linked_Size=str(len(FILES[path])))
        if target.removeprefix("/") in FILES:
            return self.serve(target.removeprefix("/"))
        self.reply(404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET


def start(elsewhere=""):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.elsewhere = elsewhere
    server.downloads, server.tokens = [], set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Check:
    def __init__(self, program):
        self.program = str(pathlib.Path(program).resolve())
        self.failures = 0
        self.cdn = start()
        self.hub = start(self.cdn.url)

    def say(self, what, ok, detail=""):
        self.failures += not ok
        print(f"{'ok  ' if ok else 'FAIL'} {what}" + (f": {detail}" if not ok else ""))

    def downloads(self):
        """What was downloaded since the last call."""
        paths = self.hub.downloads + self.cdn.downloads
        self.hub.downloads.clear()
        self.cdn.downloads.clear()
        return paths

    def environment(self, home, **more):
        base = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "XDG_"))}
        return {**base, "HOME": str(home), "HF_ENDPOINT": self.hub.url, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **more}

    def fluxq(self, arguments, environment, stdin=""):
        done = subprocess.run([self.program, *arguments], env=environment, input=stdin, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"fluxq {arguments}: {done.stderr}")
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    def python(self, code, environment):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def snapshot_download(self, environment, **more):
        arguments = ", ".join([f"allow_patterns={WANTED!r}", *(f"{k}={v!r}" for k, v in more.items())])
        code = f"import huggingface_hub as h; print(h.snapshot_download('org/name', {arguments}))"
        return self.python(code, environment)

    def run(self):
        for check in (self.ours_for_them, self.theirs_for_us, self.places, self.tokens):
            with tempfile.TemporaryDirectory() as folder:
                self.downloads()
                check(pathlib.Path(folder))
        return self.failures

    def ours_for_them(self, home):
        environment = self.environment(home)
        ours = self.fluxq(["fetch", "org/name", "--json"], environment)
        self.say("fluxq fetches the parts of the model", sorted(self.downloads()) == ONCE)
        found = self.snapshot_download({**environment, "HF_HUB_OFFLINE": "1"})
        self.say("huggingface_hub finds it offline", found == ours["path"], found)
        found = self.snapshot_download(environment)
        self.say("and online without a download", found == ours["path"] and not self.downloads(), found)
        code = ("import huggingface_hub as h, json; i = h.scan_cache_dir(); r = list(i.repos)[0]; v = list(r.revisions)[0];"
                "print(json.dumps([[str(w) for w in i.warnings], r.repo_id, v.commit_hash, sorted(v.refs), r.size_on_disk, len(v.files)]))")
        scan = json.loads(self.python(code, environment))
        size = sum(len(c) for c in {c: 0 for p, c in FILES.items() if p != "README.md"})
        self.say("its scan has no complaint", scan == [[], "org/name", COMMIT, ["main"], size, 6], scan)
        code = "import huggingface_hub as h; print(h.try_to_load_from_cache('org/name', 'vae/diffusion_pytorch_model.safetensors'))"
        self.say("it loads single files from the cache", self.python(code, environment).endswith("vae/diffusion_pytorch_model.safetensors"))
        code = f"import huggingface_hub as h; s = h.scan_cache_dir().delete_revisions({COMMIT!r}); s.execute(); print(h.scan_cache_dir().size_on_disk)"
        self.say("it deletes the model without rest", self.python(code, environment) == "0")

    def theirs_for_us(self, home):
        ours, theirs = home / "ours", home / "theirs"
        self.fluxq(["fetch", "org/name", "--json"], self.environment(ours))
        path = self.snapshot_download(self.environment(theirs))
        self.downloads()
        result = self.fluxq(["fetch", "org/name", "--json"], self.environment(theirs))
        self.say("fluxq uses what huggingface_hub downloaded", result["path"] == path and result["network_bytes"] == 0 and not self.downloads(), result)
        offline = self.fluxq(["fetch", "org/name", "--json"], self.environment(theirs, HF_HUB_OFFLINE="1"))
        self.say("and finds it offline", offline["path"] == path)
        self.say("the two caches look alike", self.picture(ours) == self.picture(theirs), [self.picture(ours), self.picture(theirs)])
        path = self.snapshot_download(self.environment(home / "third"), local_dir=str(home / "plain"))
        self.downloads()
        result = self.fluxq(["fetch", "org/name", "--to", str(home / "plain"), "--json"], self.environment(home / "third"))
        self.say("and so do folders of plain files", result["network_bytes"] == 0 and not self.downloads(), result)

    @staticmethod
    def picture(home):
        """Links, files and references of the cache, without locks and huggingface_hub's own listings."""
        root = home / ".cache/huggingface/hub"
        lines = {}
        for path in root.rglob("*"):
            name = path.relative_to(root).as_posix()
            if path.is_dir() or name.startswith(".locks/") or "/trees/" in name or name == "CACHEDIR.TAG":
                continue
            lines[name] = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        return lines

    def places(self, home):
        settings = [
            {}, {"XDG_CACHE_HOME": f"{home}/xdg"}, {"HF_HOME": f"{home}/hf"}, {"HF_HOME": "~/tilde"},
            {"HF_HUB_CACHE": f"{home}/hub"}, {"HUGGINGFACE_HUB_CACHE": f"{home}/old"},
            {"HF_HOME": f"{home}/a", "HF_HUB_CACHE": f"{home}/b", "HUGGINGFACE_HUB_CACHE": f"{home}/c"},
            {"HF_HOME": "$SOMEWHERE/x${SOMEWHERE_ELSE}", "SOMEWHERE": f"{home}/s"},
        ]
        for setting in settings:
            environment = self.environment(home, **setting)
            theirs = self.python("import huggingface_hub.constants as c; print(c.HF_HUB_CACHE)", environment)
            ours = self.fluxq(["fetch", "org/name", "--only", "vae", "--json"], environment)["path"]
            self.say(f"the same place with {setting}", ours.startswith(theirs + "/models--org--name/"), [ours, theirs])

    def tokens(self, home):
        environment = self.environment(home)
        self.fluxq(["login", "--no-check"], environment, stdin="hf_ours\n")
        get = "import huggingface_hub as h; print(h.get_token())"
        self.say("huggingface_hub reads fluxq's token", self.python(get, environment) == "hf_ours")
        (home / ".cache/huggingface/token").write_text("hf_theirs")
        for setting in ({}, {"HF_TOKEN": " hf_variable\n"}, {"HUGGING_FACE_HUB_TOKEN": "hf_old"},
                        {"HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": "hf_old"}, {"HF_TOKEN_PATH": f"{home}/none"}):
            environment = self.environment(home, **setting)
            theirs = self.python(get, environment)
            self.hub.tokens.clear()
            self.fluxq(["fetch", "org/name", "--only", "vae", "--json"], environment)
            expected = {None if theirs == "None" else f"Bearer {theirs}"}
            self.say(f"the same token with {setting}", self.hub.tokens == expected, [self.hub.tokens, expected])
        self.say("no token went to the second server", self.cdn.tokens <= {None}, self.cdn.tokens)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(1 if Check(sys.argv[1]).run() else 0)
