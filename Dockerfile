# The program in an image; docs/installation.md says how to run it. Its data lie in /data.
FROM python:3.11-slim AS build
WORKDIR /project
COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /dist .

FROM python:3.11-slim
COPY requirements.lock requirements-dashboard.lock /tmp/
RUN pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements.lock \
    && pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements-dashboard.lock
COPY --from=build /dist /dist
# Compiled once, so that no start of a container has to.
RUN pip install --no-cache-dir --no-deps /dist/*.whl \
    && python -c 'from medallion.cleaning.plain import load; load(print)' \
    && useradd --create-home --uid 1000 shop && install --directory --owner shop /data
USER shop
ENV MEDALLION_HOME=/data
VOLUME /data
ENTRYPOINT ["medallion"]
CMD ["--help"]
