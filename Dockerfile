# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY exporter exporter
RUN python -m venv /opt/exporter && /opt/exporter/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.13-slim
ARG REVISION=unknown
# PYTHONFAULTHANDLER: should an extension module ever crash the process, the log says where.
ENV STUDIO_BACKUP_EXPORTER_REVISION=$REVISION PYTHONUNBUFFERED=1 PYTHONFAULTHANDLER=1
COPY --from=build /opt/exporter /opt/exporter
# Nobody: the exporter writes nothing, and needs no file but its configuration.
USER 65534:65534
EXPOSE 10420
ENTRYPOINT ["/opt/exporter/bin/studio-backup-exporter"]
CMD ["serve", "--config.file=/etc/studio-backup-exporter/config.yaml"]
