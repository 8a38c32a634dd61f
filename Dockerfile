# Two stages: one builds a virtual environment from hash-pinned packages and the wheel of this
# checkout, the other runs it as a user without rights.

FROM python:3.12-slim AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# The packages change less often than the sources, so they are a layer of their own.
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m venv /srv/builder \
    && /srv/builder/bin/pip install --require-hashes --requirement requirements/build.txt \
    && python -m venv /srv/guerdon \
    && /srv/guerdon/bin/pip install --require-hashes --requirement requirements/runtime.txt

# The wheel holds the migrations and the generated code.
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY migrations migrations
RUN /srv/builder/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && /srv/guerdon/bin/pip install --no-deps /dist/*.whl

FROM python:3.12-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent guerdon
COPY --from=build /srv/guerdon /srv/guerdon
ENV PATH=/srv/guerdon/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GUERDON_HOST=0.0.0.0 \
    GUERDON_MONITOR_HOST=0.0.0.0
USER guerdon
WORKDIR /tmp
EXPOSE 50051 9464
# The supervisor drains on SIGTERM for up to 15 seconds and then ends its workers.
STOPSIGNAL SIGTERM
CMD ["guerdon", "serve"]
