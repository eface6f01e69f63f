# The scoring service and nothing to train with: no torch, no scikit-learn.
#
#   docker build -t stillwatch .
#   docker run --read-only --cap-drop ALL -p 127.0.0.1:8080:8080 -v "$PWD/models:/models:ro" -e STILLWATCH_TOKEN stillwatch
FROM python:3.11-slim
COPY pyproject.toml README.md LICENSE constraints.txt /source/
COPY src /source/src
RUN pip install --no-cache-dir -c /source/constraints.txt '/source[serve]' && rm -r /source \
    && useradd --system --uid 10001 stillwatch
USER 10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=2)"]
ENTRYPOINT ["stillwatch", "serve"]
CMD ["/models", "--host", "0.0.0.0", "--port", "8080"]
