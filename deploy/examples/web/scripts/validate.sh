#!/bin/sh
# Asks the application over HTTP; fails when it does not answer 200 within five seconds.
set -eu
exec python3 - <<'PYTHON'
import os, sys, time, urllib.error, urllib.request

url = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/"
last = "no answer"
for _ in range(100):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            print(f"{url} answers 200: {answer.read().decode().strip()}")
            sys.exit(0)
    except urllib.error.HTTPError as error:
        sys.exit(f"{url} answers {error.code}: {error.read().decode().strip()}")
    except OSError as error:
        last = error
        time.sleep(0.05)
sys.exit(f"{url} does not answer: {last}")
PYTHON
